"""Numbers: numpy, torch, transformers, mlflow. Nothing in here knows Spark."""
