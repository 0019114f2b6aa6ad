"""The product in stand-ins of the images of the field; ``make test-images`` runs this folder."""
