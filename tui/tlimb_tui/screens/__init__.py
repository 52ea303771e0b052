"""The five tabs and the screens that come on top of them."""
