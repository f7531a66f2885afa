"""The app as Microsoft's own Python engine sees it, with a stand-in for the .NET host around it."""
