"""What the app knows without Qt: experiments in training, edits, presets, figures of benchmarks."""
