"""What other libraries call layers that have another name here, for the message of a missing name.

docs/nn.md has the whole table; here are the names that code ported from elsewhere meets first.
"""

from __future__ import annotations

_OTHERS = {
    "Dense": "Linear",
    "Embed": "Embedding",
    "Conv": "Conv1d Conv2d Conv3d Conv1D Conv2D Conv3D",
    "ConvTranspose": "ConvTranspose1d ConvTranspose2d ConvTranspose3d Conv2DTranspose",
    "BatchNorm": "BatchNorm1d BatchNorm2d BatchNorm3d BatchNormalization SyncBatchNorm",
    "LayerNorm": "LayerNormalization",
    "InstanceNorm": "InstanceNorm1d InstanceNorm2d InstanceNorm3d",
    "Dropout": "Dropout1d Dropout2d Dropout3d",
    "MultiHeadAttention": "MultiheadAttention",
    "RNN": "LSTM GRU",
    "Repeat": "scan",
    "max_pool": "MaxPool1d MaxPool2d MaxPool3d MaxPooling1D MaxPooling2D",
    "avg_pool": "AvgPool1d AvgPool2d AvgPool3d AveragePooling2D",
    "relu": "ReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softmax": "Softmax",
    "losses.softmax_cross_entropy": "CrossEntropyLoss SparseCategoricalCrossentropy",
    "losses.sigmoid_binary_cross_entropy": "BCEWithLogitsLoss",
    "losses.squared_error": "MSELoss MeanSquaredError",
}
_HERE = {other: name for name, others in _OTHERS.items() for other in others.split()}


def name_here(other: str) -> str | None:
    """The name here of what another library calls `other`; None where none is kept.

    >>> name_here("Linear")
    'Dense'
    """
    if other == "compact":  # Flax's decorator
        return "Module, whose __call__ needs no decorator"
    return _HERE.get(other)
