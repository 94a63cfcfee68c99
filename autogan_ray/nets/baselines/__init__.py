"""Hand-made GANs of the literature, against which searched ones are compared, at the scale of CIFAR images.

Plain modules with the settings of :class:`~autogan_ray.nets.gan.Shape`: no space and no choices. Every network says by
``classes`` how many classes it is conditioned on (0: none), and by ``stochastic`` whether its output also depends on
torch's global random numbers; every generator says by ``latent_dim`` how long z is, without the classes.
"""

from autogan_ray.nets.baselines.biggan import BigGanDiscriminator, BigGanGenerator
from autogan_ray.nets.baselines.dcgan import DcganDiscriminator, DcganGenerator
from autogan_ray.nets.baselines.r3gan import R3GanDiscriminator, R3GanGenerator
from autogan_ray.nets.baselines.stylegan2 import StyleGan2Generator

__all__ = [
    "BigGanDiscriminator",
    "BigGanGenerator",
    "DcganDiscriminator",
    "DcganGenerator",
    "R3GanDiscriminator",
    "R3GanGenerator",
    "StyleGan2Generator",
]
