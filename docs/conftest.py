"""Every Python example of the documentation runs."""

import os

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser


def begin(namespace):
    namespace["working_directory"] = os.getcwd()


def end(namespace):
    """A page may move to a folder of its own, to open what lies there by its name."""
    os.chdir(namespace["working_directory"])


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser()], patterns=["*.md"], setup=begin, teardown=end
).pytest()
