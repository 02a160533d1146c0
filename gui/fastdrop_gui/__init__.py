"""The desktop app: train a small network and watch what dropout does in it.

`model` has what the window shows, and the process that trains; it does not import Qt. `views` draws the model with Qt,
`app` opens the window.
"""
