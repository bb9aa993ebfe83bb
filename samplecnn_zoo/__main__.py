"""`python -m samplecnn_zoo` is the command `samplecnn`."""

from samplecnn_zoo.cli import main

if __name__ == "__main__":
    main()
