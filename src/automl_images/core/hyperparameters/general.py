"""Rows for all models (specification B.2, and C.2 for the defaults of hub models)."""

from __future__ import annotations

from automl_images.core.hyperparameters.models import (
    BEIT_HUB,
    CLASSIFICATION,
    DEIT_HUB,
    HUB,
    HUB_CLASSES,
    LITE_CLASSES,
    LITE_MASKS,
    LITE_MULTICLASS,
    LITE_MULTILABEL,
    LITE_OBJECTS,
    MMD,
    MMD_DETECTION,
    MMD_MASKS,
    MOBILEVIT_HUB,
    MULTICLASS,
    MULTILABEL,
    SWIN_HUB,
    VIT_HUB,
    VIT_MULTICLASS,
    VIT_MULTILABEL,
    VITB,
    VITL,
    VITL_MULTICLASS,
    VITL_MULTILABEL,
    VITS,
    YOLOV5,
)
from automl_images.core.hyperparameters.row import Hyperparameter

CLASSIFICATION_BATCHES = (
    (VITS, 128),
    (VITB, 48),
    (VITL, 10),
    (LITE_CLASSES, 16),
    (VIT_HUB, 72),
    (BEIT_HUB, 72),
    (SWIN_HUB, 12),
    (DEIT_HUB, 60),
    (MOBILEVIT_HUB, 16),
    (HUB_CLASSES, 8),
    (CLASSIFICATION, 78),
)
"""Specification B.2 and C.2; efficientnet_lite0 is ours."""

CLASSIFICATION_LEARNING_RATES = (
    (LITE_MULTICLASS, 0.001),
    (LITE_CLASSES, 0.003),
    (VIT_MULTICLASS, 0.0125),
    (VITL_MULTICLASS, 0.001),
    (VIT_MULTILABEL, 0.025),
    (VITL_MULTILABEL, 0.002),
    (MULTICLASS, 0.01),
    (MULTILABEL, 0.035),
)
"""Specification B.2."""

HUB_LEARNING_RATES = (
    (VIT_HUB, 5.0249e-5),
    (BEIT_HUB, 9.973e-5),
    (SWIN_HUB, 3.389e-5),
    (DEIT_HUB, 5e-5),
    (MOBILEVIT_HUB, 6.606e-5),
    (HUB, 5e-5),
    (MMD_MASKS, 9.67e-5),
    (MMD, 1e-4),
)
"""Specification C.2; its 1e-5 for mmd models is for weights from COCO, which our own networks do not have."""

HUB_WEIGHT_DECAYS = (
    (VIT_HUB, 6.93e-7),
    (BEIT_HUB, 1.18e-7),
    (SWIN_HUB, 1.65e-8),
    (MOBILEVIT_HUB, 1.32e-5),
    (MMD_MASKS, 6.34e-6),
    (MMD, 1.468e-5),
)
"""Specification C.2."""

GENERAL: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        "number_of_epochs",
        "int",
        "Passes over the training images.",
        15,
        (
            (YOLOV5, 30),
            (LITE_MULTILABEL, 20),
            (LITE_MASKS, 8),
            (LITE_OBJECTS, 10),
            (MMD, 10),
            (SWIN_HUB, 5),
        ),
        minimum=1,
    ),
    Hyperparameter(
        "training_batch_size",
        "int",
        "Images in a training step (per device).",
        2,
        ((YOLOV5, 16), (MMD_MASKS, 1), *CLASSIFICATION_BATCHES),
        minimum=1,
    ),
    Hyperparameter(
        "validation_batch_size",
        "int",
        "Images in a validation step (per device).",
        1,
        ((YOLOV5, 16), (LITE_OBJECTS, 4), (MMD_DETECTION, 2), *CLASSIFICATION_BATCHES),
        minimum=1,
    ),
    Hyperparameter(
        "gradient_accumulation_step",
        "int",
        "Batches whose gradients are added up before the weights change.",
        1,
        aliases=("grad_accumulation_step",),
        minimum=1,
    ),
    Hyperparameter(
        "early_stopping", "bool", "Stop when the primary metric no longer improves.", True, ((LITE_MULTILABEL, False),)
    ),
    Hyperparameter("early_stopping_patience", "int", "Evaluations without improvement before stopping.", 5, minimum=1),
    Hyperparameter("early_stopping_delay", "int", "Epochs before improvement is watched at all.", 5, minimum=1),
    Hyperparameter(
        "learning_rate",
        "float",
        "Step size at the top of the schedule.",
        0.005,
        ((YOLOV5, 0.01), (LITE_OBJECTS, 0.0002), *HUB_LEARNING_RATES, *CLASSIFICATION_LEARNING_RATES),
        minimum=0,
        maximum=1,
    ),
    Hyperparameter(
        "learning_rate_scheduler",
        "choice",
        "Shape of the learning rate over time; none: it stays.",
        "warmup_cosine",
        ((MOBILEVIT_HUB, "none"),),
        aliases=("lr_scheduler",),
        choices=("warmup_cosine", "step", "none"),
    ),
    Hyperparameter("step_lr_gamma", "float", "Factor of the step schedule.", 0.5, minimum=0, maximum=1),
    Hyperparameter("step_lr_step_size", "int", "Epochs between two steps of the step schedule.", 5, minimum=1),
    Hyperparameter(
        "warmup_cosine_lr_cycles", "float", "Cosine waves after warm-up; 0.5 ends at zero.", 0.45, minimum=0, maximum=1
    ),
    Hyperparameter(
        "warmup_cosine_lr_warmup_epochs",
        "int",
        "Epochs of linear warm-up; with number_of_epochs or more the rate never comes to its top.",
        2,
        ((LITE_CLASSES, 1),),
        minimum=1,
    ),
    Hyperparameter(
        "optimizer",
        "choice",
        "Optimiser.",
        "sgd",
        ((HUB, "adamw"), (MMD, "adamw"), (LITE_CLASSES, "adamw"), (LITE_OBJECTS, "adamw")),
        choices=("sgd", "adam", "adamw"),
    ),
    Hyperparameter("momentum", "float", "Momentum of sgd.", 0.9, minimum=0, maximum=1),
    Hyperparameter(
        "weight_decay",
        "float",
        "Decay of weights; norm layers and biases have none.",
        1e-4,
        HUB_WEIGHT_DECAYS,
        minimum=0,
        maximum=1,
    ),
    Hyperparameter("nesterov", "bool", "Nesterov momentum of sgd.", True),
    Hyperparameter(
        "beta1", "float", "First moment's decay of adam and adamw.", 0.9, minimum=0, maximum=1, open_maximum=True
    ),
    Hyperparameter(
        "beta2", "float", "Second moment's decay of adam and adamw.", 0.999, minimum=0, maximum=1, open_maximum=True
    ),
    Hyperparameter("ams_gradient", "bool", "AMSGrad variant of adam and adamw.", False, aliases=("amsgrad",)),
    Hyperparameter(
        "evaluation_frequency", "int", "Epochs between evaluations; the last epoch is always evaluated.", 1, minimum=1
    ),
    Hyperparameter(
        "checkpoint_frequency",
        "int",
        "Epochs between checkpoints to resume from; in long epochs there is one every five minutes, too.",
        1,
        minimum=1,
    ),
    Hyperparameter(
        "checkpoint_run_id",
        "text",
        "MLflow run, of a job or of a trial, or job, whose best model's weights the training begins with.",
        None,
    ),
    Hyperparameter(
        "checkpoint_dataset_id",
        "text",
        "Folder, or registered model (name:version), with the weights in checkpoint_filename.",
        None,
    ),
    Hyperparameter(
        "checkpoint_filename", "text", "File of weights inside checkpoint_dataset_id; both or neither.", None
    ),
    Hyperparameter(
        "layers_to_freeze",
        "int",
        "Leading layer groups that are not trained; 0: none. Not set, and with pretrained weights: 4 of "
        "efficientnet_lite0, 2 of fasterrcnn_…, maskrcnn_…, retinanet_…, mmd-3x-sparse-rcnn_…, mmd-3x-vfnet_… and "
        "mmd-3x-yolof_…, none of the others.",
        None,
        minimum=0,
    ),
    Hyperparameter(
        "number_of_workers",
        "int",
        "Processes that load images; not set: from the free cores.",
        None,
        aliases=("num_workers",),
        minimum=0,
    ),
    Hyperparameter("distributed", "bool", "Accepted for job files; a trial uses one device.", True),
    Hyperparameter(
        "enable_onnx_normalization", "bool", "Put the division by 255, mean and std into the ONNX graph.", False
    ),
    Hyperparameter(
        "random_seed", "int", "Seed of everything random.", 0, aliases=("seed",), minimum=0, maximum=2**32 - 1
    ),
    Hyperparameter(
        "deterministic",
        "bool",
        "Use only operations of torch that give the same result again, which is slower on a GPU.",
        False,
    ),
    Hyperparameter(
        "log_training_metrics",
        "choice",
        "Compute the metrics on training images too.",
        "Disable",
        choices=("Enable", "Disable"),
    ),
    Hyperparameter(
        "log_validation_loss",
        "choice",
        "Compute the loss on validation images.",
        "Enable",
        choices=("Enable", "Disable"),
    ),
    Hyperparameter("advanced_settings", "json", "JSON object of switches, see the documentation.", None),
    Hyperparameter("augmentations", "text", "Accepted for job files; has no effect (advanced_settings does).", None),
)
