"""The command `haro`: the app as a laptop sees it."""
