"""Maps folders into the installed package: weights/, and the clips of the page; else see pyproject.toml."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["samplecnn_zoo", "samplecnn_zoo.*"]),
        "samplecnn_zoo.clips",
        "samplecnn_zoo.weights",
    ],
    package_dir={"samplecnn_zoo.clips": "examples/audio", "samplecnn_zoo.weights": "weights"},
    package_data={
        "samplecnn_zoo": ["py.typed"],
        "samplecnn_zoo.clips": ["*.ogg"],
        "samplecnn_zoo.datasets": ["splits/*"],
        "samplecnn_zoo.demo": ["page.css", "page.js"],
        "samplecnn_zoo.visualize": ["*.html"],
        "samplecnn_zoo.zoo": ["tags/*"],
        "samplecnn_zoo.weights": ["*", "*/*"],
    },
)
