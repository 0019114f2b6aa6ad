"""How fast and how light: ``python -m tests.benchmarks`` measures and prints, never asserts."""
