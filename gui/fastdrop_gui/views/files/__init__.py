"""Files and other ways out of the window: experiments, autosave, tables, exports."""
