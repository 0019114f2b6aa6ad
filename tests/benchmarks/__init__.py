"""Speed and weight: ``python -m tests.benchmarks`` measures and prints, and never asserts."""
