"""The short names of components. A new component is a file with its class and one line here (or an entry point of `tlimb.catalogue`)."""

from tlimb.catalogue.components import Component, Parameter

_COMPONENTS = "tlimb.components"
_RESNET = f"{_COMPONENTS}.architectures.ResNet"
_SWIN = f"{_COMPONENTS}.architectures.Swin"
_VIT = f"{_COMPONENTS}.architectures.ViT"
_SLICE = f"{_COMPONENTS}.data.SliceDataModule"
_AUGMENT = f"{_COMPONENTS}.augmentations"
_OPTIM = "torch.optim"
_SCHEDULE = "torch.optim.lr_scheduler"
_ALONE = ("pretrain",)
_BESIDE = ("semisupervise",)
_ACROSS = ("adapt",)
_ROUNDS = (
    Parameter("round", "int", None, help="trials asked for at once; default: a quarter of all, at most 8; of a random search all"),
    Parameter(
        "asha",
        "int",
        None,
        help="after 1, asha, asha², … epochs stop trials below the best 1/asha of earlier rounds (ASHA, Li et al. 2020)",
    ),
)

WORDS = (
    *(
        Component(f"resnet{depth}", "architecture", _RESNET, {"depth": depth}, f"ResNet-{depth} (He et al. 2016) in 1, 2 or 3 dimensions")
        for depth in (10, 18, 34, 50, 101)
    ),
    Component(
        "resnet_slim",
        "architecture",
        _RESNET,
        {"depth": 10, "widths": [32, 64, 128, 256]},
        "ResNet-10 with half the filters, for time series and small data sets",
    ),
    Component(
        "sfcn",
        "architecture",
        f"{_COMPONENTS}.architectures.SFCN",
        {},
        "Simple fully convolutional network of brain age (Peng et al. 2021)",
    ),
    Component("vit", "architecture", _VIT, {}, "Vision transformer (Dosovitskiy et al. 2021), small, with patches of 8 voxels"),
    *(
        Component(
            f"vit_{size}",
            "architecture",
            _VIT,
            {"patch_size": 16, "hidden_size": hidden, "num_layers": 12, "num_heads": heads},
            f"Vision transformer of the size ViT-{size.capitalize()}",
        )
        for size, hidden, heads in (("tiny", 192, 3), ("small", 384, 6), ("base", 768, 12))
    ),
    Component("swin", "architecture", _SWIN, {}, "Shifted-window transformer (Liu et al. 2021), small, for 2-D and 3-D images"),
    Component(
        "swin_tiny",
        "architecture",
        _SWIN,
        {"embed_dim": 96, "patch_size": 4, "depths": [2, 2, 6, 2]},
        "Shifted-window transformer of the size Swin-T",
    ),
    Component("swin_unetr", "architecture", _SWIN, {"embed_dim": 48}, "Encoder of SwinUNETR (Hatamizadeh et al. 2022)"),
    Component(
        "crop_center",
        "data",
        f"{_COMPONENTS}.data.CropCenterDataModule",
        {},
        "Volumes, cropped or padded around their centre",
        spatial_dims=3,
    ),
    *(
        Component(
            f"{plane}_slice", "data", _SLICE, {"plane": plane}, f"{plane.capitalize()} slices of volumes, as 2-D images", spatial_dims=2
        )
        for plane in ("axial", "coronal", "sagittal")
    ),
    Component(
        "bioimage",
        "data",
        f"{_COMPONENTS}.data.BioImageDataModule",
        {},
        "Pictures, microscopy stacks and volumes of any channels",
        one_channel=False,
    ),
    Component(
        "timeseries",
        "data",
        f"{_COMPONENTS}.data.TimeSeriesDataModule",
        {},
        "Series of regions over time, such as resting-state fMRI of an atlas",
        spatial_dims=1,
        one_channel=False,
    ),
    Component("affine", "augmentation", f"{_AUGMENT}.Affine", {}, "Turn, scale, shift and shear"),
    Component("elastic", "augmentation", f"{_AUGMENT}.ElasticDeformation", {}, "Smooth random deformation"),
    Component("flip", "augmentation", f"{_AUGMENT}.Flip", {}, "Mirror along an axis, left and right by default"),
    Component("crop", "augmentation", f"{_AUGMENT}.ResizedCrop", {}, "Random box, scaled to the image's size"),
    Component("noise", "augmentation", f"{_AUGMENT}.Noise", {}, "Gaussian noise"),
    Component("bias", "augmentation", f"{_AUGMENT}.BiasField", {}, "Smooth bias field, as of an inhomogeneous coil"),
    Component("gamma", "augmentation", f"{_AUGMENT}.Gamma", {}, "Change of contrast"),
    Component("cutout", "augmentation", f"{_AUGMENT}.Cutout", {}, "Boxes, or spans of time, set to 0"),
    Component("ghosting", "augmentation", f"{_AUGMENT}.Ghosting", {}, "Ghosts along an axis, as of a pulse"),
    Component("spike", "augmentation", f"{_AUGMENT}.Spike", {}, "Stripes, as of a spike in k-space"),
    Component("motion", "augmentation", f"{_AUGMENT}.Motion", {}, "Movements of the head during the scan"),
    Component("supervised", "scenario", f"{_COMPONENTS}.scenarios.Supervised", {}, "Learn labelled targets"),
    Component("regression", "objective", f"{_COMPONENTS}.objectives.RegressionObjective", {}, "Loss of a number"),
    Component("classification", "objective", f"{_COMPONENTS}.objectives.ClassificationObjective", {}, "Loss of categories"),
    Component(
        "multitask", "objective", f"{_COMPONENTS}.objectives.MultitaskObjective", {}, "Weighted sum of the losses of several targets"
    ),
    Component(
        "uncertainty", "objective", f"{_COMPONENTS}.objectives.UncertaintyObjective", {}, "Sum of several losses whose weights are learned"
    ),
    Component(
        "simclr",
        "method",
        f"{_COMPONENTS}.scenarios.SelfSupervised",
        {},
        "Two views of an image are more alike than views of others (SimCLR, Chen et al. 2020)",
        auxiliary=f"{_COMPONENTS}.objectives.Contrastive",
        verbs=_ALONE,
    ),
    Component(
        "mae",
        "method",
        f"{_COMPONENTS}.scenarios.SelfSupervised",
        {},
        "Patches that the encoder does not see are drawn from the others; for ViT (MAE, He et al. 2022)",
        auxiliary=f"{_COMPONENTS}.objectives.MaskedAutoencoder",
        verbs=_ALONE,
    ),
    Component(
        "simmim",
        "method",
        f"{_COMPONENTS}.scenarios.SelfSupervised",
        {},
        "Masked patches of an image are drawn from the rest; for any architecture (SimMIM, Xie et al. 2022)",
        auxiliary=f"{_COMPONENTS}.objectives.MaskedImageModelling",
        verbs=_ALONE,
    ),
    Component(
        "meanteacher",
        "method",
        f"{_COMPONENTS}.scenarios.MeanTeacher",
        {},
        "A student agrees with the average of its past (Tarvainen & Valpola 2017)",
        auxiliary=f"{_COMPONENTS}.objectives.Consistency",
        verbs=_BESIDE,
    ),
    Component(
        "fixmatch",
        "method",
        f"{_COMPONENTS}.scenarios.Joint",
        {},
        "Confident answers to weakly augmented images are labels of strongly augmented ones (FixMatch, Sohn et al. 2020)",
        auxiliary=f"{_COMPONENTS}.objectives.PseudoLabels",
        verbs=_BESIDE,
        targets="category",
    ),
    Component(
        "dann",
        "method",
        f"{_COMPONENTS}.scenarios.Joint",
        {},
        "Features from which the domain cannot be told (DANN, Ganin & Lempitsky 2015)",
        auxiliary=f"{_COMPONENTS}.objectives.DomainAdversarial",
        verbs=_ACROSS,
    ),
    Component(
        "coral",
        "method",
        f"{_COMPONENTS}.scenarios.Joint",
        {},
        "Features with the same covariance in both domains (Deep CORAL, Sun & Saenko 2016)",
        auxiliary=f"{_COMPONENTS}.objectives.Coral",
        verbs=_ACROSS,
    ),
    Component(
        "mmd",
        "method",
        f"{_COMPONENTS}.scenarios.Joint",
        {},
        "Features with the same distribution in both domains, by kernels (DAN, Long et al. 2015)",
        auxiliary=f"{_COMPONENTS}.objectives.Mmd",
        verbs=_ACROSS,
    ),
    Component(
        "adabn",
        "method",
        f"{_COMPONENTS}.scenarios.AdaptiveBatchNorm",
        {},
        "The statistics of BatchNorm from the target domain (AdaBN, Li et al. 2016)",
        verbs=_ACROSS,
    ),
    Component(
        "elastic", "auxiliary", f"{_COMPONENTS}.objectives.ElasticPenalty", {}, "Pull towards the start weights (L2-SP, Li et al. 2018)"
    ),
    Component("trainer", "trainer", "lightning.Trainer", {}, "Lightning's Trainer"),
    Component("adam", "optimizer", f"{_OPTIM}.Adam", {}, "Adam (Kingma & Ba 2015)"),
    Component("adamw", "optimizer", f"{_OPTIM}.AdamW", {}, "Adam with decoupled weight decay (Loshchilov & Hutter 2019)"),
    Component("sgd", "optimizer", f"{_OPTIM}.SGD", {}, "Stochastic gradient descent, with momentum if given"),
    Component("rmsprop", "optimizer", f"{_OPTIM}.RMSprop", {}, "RMSprop"),
    Component("cosine", "schedule", f"{_SCHEDULE}.CosineAnnealingLR", {}, "Learning rate falls along a cosine over the epochs"),
    Component("step", "schedule", f"{_SCHEDULE}.StepLR", {}, "Learning rate falls by a factor every few epochs"),
    Component("plateau", "schedule", f"{_SCHEDULE}.ReduceLROnPlateau", {}, "Learning rate falls when the monitored metric stalls"),
    Component(
        "tensorboard", "logger", "lightning.pytorch.loggers.TensorBoardLogger", {}, "Curves for TensorBoard, beside the stage's results"
    ),
    Component("mlflow", "logger", "lightning.pytorch.loggers.MLFlowLogger", {}, "Curves for MLflow"),
    Component("linear", "schedule", f"{_SCHEDULE}.LinearLR", {}, "Learning rate changes linearly over the first epochs"),
    Component("random", "search", "tlimb.stages.search.drawn", {}, "Draws, uniform on each axis (on its logarithm after `log`)", _ROUNDS),
    Component(
        "tpe",
        "search",
        "optuna.samplers.TPESampler",
        {},
        "Tree-structured Parzen estimator (Bergstra et al. 2011, by Optuna): draws where good trials are dense and bad ones are not",
        parameters=_ROUNDS,
    ),
    Component(
        "gp",
        "search",
        "optuna.samplers.GPSampler",
        {},
        "Bayesian search with a Gaussian process (by Optuna): few trials on few axes; slower to ask",
        parameters=_ROUNDS,
    ),
)
