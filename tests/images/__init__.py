"""The product in stand-ins of SageMaker's images; ``make test-images`` runs this folder."""
