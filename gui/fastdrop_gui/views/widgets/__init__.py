"""Parts that several pages share: plots, cells, sliders, dialogs, the theme."""
