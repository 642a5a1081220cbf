"""All that goes over the net, for what the user asked for: nothing else in the app connects to another computer.

Only children of their own run this, with the environment that `environment.online` gives them.
"""
