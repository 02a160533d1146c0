"""The desktop app: train a small network and watch what dropout does in it.

`training` runs the trainer in a process of its own, `model` holds what the window shows; neither knows Qt.
`views` draw the model, `app` opens the window.
"""
