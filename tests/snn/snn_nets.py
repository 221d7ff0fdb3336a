"""Networks that several tests use."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neurocompile import snn


def vgg() -> nn.Sequential:
    return nn.Sequential(
        snn.DirectEncoder(),
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        snn.LIF(torch.tensor([0.2, 0.3, 0.4, 0.5]), 0.9, learn_threshold=True, leaky_reset=False),
        nn.Dropout2d(0.1),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, padding="same", groups=2),
        snn.IF(0.1, compare="at_or_above"),
        snn.TimeConstantDropout(0.2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, 12, bias=False),
        nn.BatchNorm1d(12),
        snn.LIF(0.05, 0.8, reset="set", reset_value=-0.1, learn_leak=True),
        nn.Dropout(0.1),
        nn.Linear(12, 3),
        snn.Readout(0.9),
    )


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.lif1 = snn.LIF(0.3, 0.9)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.lif2 = snn.LIF(0.3, 0.9)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(self.lif1(self.bn1(self.conv1(x))))
        return self.lif2(y + self.shortcut(x))


class ResNet(nn.Module):
    """With the functional spelling of everything that has one."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = snn.PoissonEncoder(gain=0.9, seed=3)
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), snn.LIF(0.3, 0.9))
        self.blocks = nn.Sequential(Block(4, 4, 1), Block(4, 6, 2))
        self.fc = nn.Linear(6, 3)
        self.readout = snn.Readout()

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem(self.encoder(x)))
        x = F.avg_pool2d(x, 2, stride=1, padding=1, count_include_pad=False)
        x = F.dropout(F.adaptive_avg_pool2d(x, (1, 1)), 0.1, training=self.training)
        return self.readout(self.fc(x.view(x.size(0), -1)))


def settled(model: nn.Module) -> nn.Module:
    """With batch-norm statistics other than the initial ones; in eval mode."""
    model.train()
    snn.run(model, torch.rand(16, 1, 8, 8), 2)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.4)
    snn.reset_state(model)
    return model.eval()
