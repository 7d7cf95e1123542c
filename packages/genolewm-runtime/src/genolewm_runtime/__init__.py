"""Score a personal genome on your own machine with the network closed."""
