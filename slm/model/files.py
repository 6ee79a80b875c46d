"""The names of a model's files, in a checkpoint and in the registry alike."""

WEIGHTS = "model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
#: What :func:`slm.model.llama.save_model` writes; a checkpoint adds its manifest.
MODEL_FILES = (WEIGHTS, "config.json", "generation_config.json", *TOKENIZER_FILES)

#: What a model that was taught questions has beside its weights (:mod:`slm.adapt.confidence`): its lists of answers,
#: the items that it was taught, and how sure it may be.
ANSWERS, NEIGHBOURS, CALIBRATION = TAUGHT = ("answers.json", "neighbours.json", "calibration.json")
#: What the AUTON kernel itself runs: all that an edition is published as.
FLAT = "model.flat"
