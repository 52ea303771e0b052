"""The graph of a recipe drawn: what is in the picture, where it stands, and how that becomes text, SVG, Mermaid or Graphviz; pure."""
