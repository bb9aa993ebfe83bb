"""Which papers a preset rests on, as BibTeX: those of its network and of the weights' origin."""

from samplecnn_zoo.zoo.preset import Preset

LEE_2018 = """@article{lee2018samplecnn,
  title   = {{SampleCNN}: End-to-End Deep Convolutional Neural Networks Using Very Small Filters
             for Music Classification},
  author  = {Lee, Jongpil and Park, Jiyoung and Kim, Keunhyoung Luke and Nam, Juhan},
  journal = {Applied Sciences},
  volume  = {8},
  number  = {1},
  pages   = {150},
  year    = {2018},
  doi     = {10.3390/app8010150}
}"""

KIM_2018 = """@inproceedings{kim2018sample,
  title     = {Sample-Level {CNN} Architectures for Music Auto-Tagging Using Raw Waveforms},
  author    = {Kim, Taejun and Lee, Jongpil and Nam, Juhan},
  booktitle = {IEEE International Conference on Acoustics, Speech and Signal Processing (ICASSP)},
  year      = {2018}
}"""

WON_2020 = """@inproceedings{won2020evaluation,
  title     = {Evaluation of {CNN}-based Automatic Music Tagging Models},
  author    = {Won, Minz and Ferraro, Andres and Bogdanov, Dmitry and Serra, Xavier},
  booktitle = {Sound and Music Computing Conference (SMC)},
  year      = {2020}
}"""

SPIJKERVET_2021 = """@inproceedings{spijkervet2021clmr,
  title     = {Contrastive Learning of Musical Representations},
  author    = {Spijkervet, Janne and Burgoyne, John Ashley},
  booktitle = {International Society for Music Information Retrieval Conference (ISMIR)},
  year      = {2021}
}"""

_BUILDERS = frozenset({"SampleCNN", "FrameLevelRaw", "FrameLevelMel"})
_ORIGINS = {"minzwon/sota-music-tagging-models": WON_2020, "Spijkervet/CLMR": SPIJKERVET_2021}


def citations(preset: Preset) -> list[str]:
    """Return the BibTeX entries, the network's first; none for a builder that this package does not have."""
    works = [LEE_2018] if preset.builder in _BUILDERS else []
    block = preset.arguments.get("block", "basic")
    if block not in ("basic", "rese_won") or preset.arguments.get("multi_level"):
        works.append(KIM_2018)
    if block == "rese_won" or preset.arguments.get("input_padding"):
        works.append(WON_2020)
    origin = _ORIGINS.get(preset.source.repo) if preset.source else None
    return works if origin is None or origin in works else [*works, origin]
