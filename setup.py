"""Maps the folder weights/ into the installed package; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["samplecnn_zoo", "samplecnn_zoo.*"]), "samplecnn_zoo.weights"],
    package_dir={"samplecnn_zoo.weights": "weights"},
    package_data={
        "samplecnn_zoo": ["py.typed"],
        "samplecnn_zoo.datasets": ["splits/*"],
        "samplecnn_zoo.visualize": ["*.html"],
        "samplecnn_zoo.zoo": ["tags/*"],
        "samplecnn_zoo.weights": ["*", "*/*"],
    },
)
