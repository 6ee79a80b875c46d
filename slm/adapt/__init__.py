"""Making a trained model better at a job: supervised training on questions with their answers."""
