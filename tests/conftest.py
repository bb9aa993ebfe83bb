"""A quiet TensorFlow for every test, TensorFlow as Keras' backend unless the caller chose one, and Ctrl-C."""

import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before anything imports TensorFlow
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

# A shell starts what runs in its background with Ctrl-C ignored, and processes that tests start inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
