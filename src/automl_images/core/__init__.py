"""Plain Python that every room may lean on: no torch, no kedro, no mlflow."""
