"""Score a personal genome on your own machine, with the network closed. Importing it does nothing.

The public class is `genolewm_runtime.runtime.GenoLeWMRuntime`.
"""

__version__ = "0.1.0"
