from pathlib import Path

from setuptools import find_namespace_packages, setup

setup(
    name="wxr_plugin",
    version="0.1.0",
    description="Rain, haze and snow removal for BasicSR, with vision-language models in the loop",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.13",
    # Folders of data alone are packages too, and every file in them belongs to the wheel.
    packages=find_namespace_packages(
        include=["wxr_plugin", "wxr_plugin.*"], exclude=["*.__pycache__"]
    ),
    package_data={"": ["*"]},
    # Every floor is a version that tests passed with, or the least that transformers (bitsandbytes,
    # tokenizers, safetensors) or the build (setuptools) asks for. What failed: msgspec 0.19, lmdb
    # 1.5, open_clip 2.30, opencv 4.10 and transformers 5.0. constraints.txt has the versions that
    # `make` installs.
    install_requires=[
        "accelerate>=1.10",
        "addict>=2.4",
        "basicsr==1.4.2",
        "bitsandbytes>=0.46.1",
        "filelock>=3.12",
        "icecream>=2.1.3",
        "lmdb>=3.0",
        "mmengine>=0.10.7",
        "msgspec>=0.20",
        "numpy>=2.0.2",
        "open_clip_torch>=3.3",
        "openai>=1.98",
        "opencv-python>=4.12.0.88",
        "opencv-python-headless>=4.12.0.88",
        "pillow>=11",
        "psutil>=5.9",
        "pyiqa>=0.1.16",
        "pyyaml>=6.0.1",
        "requests>=2.31",
        "rich>=13.7",
        "safetensors>=0.8",
        "scikit-image>=0.24",
        "scikit-learn>=1.5",
        "scipy>=1.13,<1.18",
        "setuptools>=77",
        "spandrel>=0.4.1",
        "spandrel_extra_arches>=0.2",
        "tokenizers>=0.23.1",
        "torch>=2.14",
        "torchvision>=0.29",
        "transformers>=5.23",
    ],
    extras_require={
        "dev": [
            "import-linter>=2.17",
            "mypy>=2.4",
            "pytest>=9.2",
            "pytest-xdist>=3.8",
            "ruff>=0.17",
            "transformers[serving]>=5.23",
        ],
        "download": ["gdown>=6.5"],
        "mmagic": ["mmagic==1.2.0", "mmcv-lite==2.1.0", "albumentations==2.0.8"],
    },
    entry_points={"console_scripts": ["wxr=wxr_plugin.cli.main:main"]},
)
