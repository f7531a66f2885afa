"""Where the detector comes from: data, training, evaluation, export, and the bundled model."""
