"""The app of `tlimb tui`: browse, edit, run and compare a recipe as a graph. It holds no recipe logic and writes text, never trees."""
