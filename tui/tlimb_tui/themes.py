"""The light and the dark theme."""

from textual.theme import Theme

DARK = Theme(
    name="tlimb-dark",
    primary="#5fa8d3",
    secondary="#9d8cd6",
    accent="#d39a5f",
    warning="#d7b453",
    error="#e06c75",
    success="#7fb069",
    foreground="#d8dee6",
    background="#14181d",
    surface="#1a1f26",
    panel="#232a33",
    dark=True,
    variables={"border": "#5fa8d3", "border-blurred": "#3b4652"},
)
LIGHT = Theme(
    name="tlimb-light",
    primary="#1f6f9f",
    secondary="#6a51a3",
    accent="#a35a14",
    warning="#8a6100",
    error="#b3261e",
    success="#2e7031",
    foreground="#1c2530",
    background="#f7f8f9",
    surface="#eef0f2",
    panel="#dfe4e8",
    dark=False,
    variables={"border": "#1f6f9f", "border-blurred": "#b3bcc4"},
)
THEMES = {theme.name: theme for theme in (DARK, LIGHT)}
