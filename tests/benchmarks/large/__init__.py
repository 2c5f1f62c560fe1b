"""What ratios of data out of core cost, beside scikit-learn in memory: ``python -m tests.benchmarks.large --help``."""
