"""A quiet TensorFlow for every test, and TensorFlow as Keras' backend unless the caller chose one."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before anything imports TensorFlow
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
