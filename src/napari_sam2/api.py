"""The scripted door: a `Session` that knows its model by name and opens its stack from an array or a path."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2.core.axes import StackView
from napari_sam2.core.engine import InlineEngine
from napari_sam2.core.errors import FrameReadError, ImageError, OptionError
from napari_sam2.core.fingerprint import Fingerprint
from napari_sam2.core.frames import FrameSource
from napari_sam2.core.intensity import IntensityMapping, named_window, sample_percentiles
from napari_sam2.core.lazy_segmenter import LazySegmenter
from napari_sam2.core.measures import Measurement, measure
from napari_sam2.core.options import NATIVE, InferenceOptions
from napari_sam2.core.placement import Placement
from napari_sam2.core.planes import Axis
from napari_sam2.core.saved import Kept
from napari_sam2.core.segmenter import Segmenter
from napari_sam2.core.session import Session as CoreSession
from napari_sam2.core.sources import ImageSource
from napari_sam2.core.volume_segmenter import NUM_BOUND, VolumeSegmenter
from napari_sam2.io.embedding_folder import EmbeddingCache, embeddings_for
from napari_sam2.io.folders import without_home
from napari_sam2.io.weights import open_weights, resolve, weights_sha256

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from napari_sam2.inference.device import DeviceName
    from napari_sam2.inference.loading import LoadedWeights
    from napari_sam2.io.images import OpenedImage
    from napari_sam2.io.images.opening import Frames
    from napari_sam2.io.session_parts import ImagePlace
    from napari_sam2.io.sessions import SessionFile


def load_model(model: str | Path = "nano") -> LoadedWeights:
    """Load a network by name (`nano`, `tiny`, `sam2.1_tiny`, …) or from a weights file.

    Raises
    ------
    MissingWeightsError
        If the weights are not on this computer; nothing is fetched unasked.
    CheckpointError
        If the file is not one that may be parsed, or fits no model.
    """
    from napari_sam2.inference import loading

    path = resolve(model)
    with open_weights(path) as opened:
        if opened.kind == "official":
            return loading.load_official(opened.file, path.name)
        return loading.load_safetensors(opened.file.read(), path.name)


def convert_checkpoint(source: str | Path, target: str | Path) -> str:
    """Convert a person's own `.pt` to safetensors, in an isolated process, and return which model it is.

    Raises
    ------
    CheckpointError
        If it holds anything but tensors and plain values, or fits no model; nothing is written then.
    OptionError
        If `target` exists, or does not end in ``.safetensors``.
    """
    from napari_sam2.io.checkpoints import Shapes, convert

    source, found = Path(source).expanduser(), []

    def fits(shapes: Shapes) -> None:
        from napari_sam2.inference import loading

        found.append(loading.config_of(shapes, source.name).name)

    convert(source, Path(target).expanduser(), fits=fits)
    return found[0]


def make_segmenter(
    model: str | Path,
    frames: FrameSource,
    mapping: IntensityMapping,
    *,
    device: DeviceName = "auto",
    options: InferenceOptions = NATIVE,
    depth: int = 0,
    embedding_cache: EmbeddingCache = None,
) -> Segmenter:
    """Load a model and bind it to a stack. Imports torch; call it on the thread that will own the model.

    `depth`: frames of a volume, if the stack is a row of volumes; see `StackView`. `embedding_cache`: see `Session`.
    """
    from napari_sam2.inference import kept
    from napari_sam2.inference.device import DevicePolicy
    from napari_sam2.inference.embeddings import DEFAULT_BUDGET
    from napari_sam2.inference.quality import is_large
    from napari_sam2.inference.read_ahead import ReadAhead
    from napari_sam2.inference.segmenter import Sam2Segmenter

    network = load_model(model).network
    policy = DevicePolicy.choose(device, options.precision, is_large=is_large(network))
    pays = kept.pays(network.config, policy.compute)
    store = embeddings_for(embedding_cache, pays=pays)
    if not depth:
        return Sam2Segmenter(network, frames, mapping, options, policy, embeddings=store)
    budget = DEFAULT_BUDGET // NUM_BOUND
    return VolumeSegmenter(
        ReadAhead(frames, is_on=False),  # its lines read ahead by themselves, one frame at a time
        depth,
        lambda stack: Sam2Segmenter(network, stack, mapping, options, policy, budget, store),
        mapping,
    )


class Session(CoreSession):
    """Annotate one stack from Python: prompts in, labels out. No Qt.

    Parameters
    ----------
    image : array or path
        (T | Z, Y, X), (Y, X), or either with a last axis of 3 when `rgb`; numpy, zarr, dask or a file. With more axes,
        `at`, `channel` or `volumes` say what is meant. Read one frame at a time.
    axis : int or str
        The axis along which objects are propagated: its number among the axes that are not fixed, or its name.
    model : str or path
        `nano`, a size (`tiny`, `small`, `base_plus`, `large`), a full name, or a weights file.
    rgb : bool
        The last axis of an array holds colours.
    limits : tuple of float, IntensityMapping or str, optional
        Intensities that become black and white; default: percentiles 0.5 and 99.5 of a sample of the stack. A name is
        that of a window: one of `core.intensity.WINDOWS`, or "mr" for percentiles 1 and 99.
    device : {"auto", "cpu", "cuda", "mps"}
        Where the network runs.
    options : InferenceOptions
        How the network is used.
    at : mapping of axis to int, optional
        Where other axes stand, by name or number: ``{"c": 1, "t": 0}``.
    channel : int or sequence of int, optional
        Of the axis called "c": one, or two or three to be seen as colours.
    volumes : int or str, optional
        The axis that counts volumes: objects are carried through each volume, then from volume to volume.
    level : int
        Of a pyramid in a file, 0 the full resolution.
    series : str, optional
        Of a DICOM folder with several, a SeriesInstanceUID or its beginning.
    stack_view : StackView, optional
        Exactly these axes, instead of `axis`, `at` and `volumes`.
    embedding_cache : bool or path, optional
        Where encoded frames are kept, so that another session need not encode them again. By default below the cache
        folder, for models and devices with which that is faster; True: there in any case; False: nowhere; or a folder.
        The masks are the same in all cases.

    Attributes
    ----------
    source : ImageSource
        Where the image came from, with the placement of its axes.

    Examples
    --------
    >>> session = Session(stack, model="nano")
    >>> session.add_points(1, 0, [(120, 88)], labels=[1])
    >>> for result in session.propagate():
    ...     print(result.frame)
    >>> session.labels[5]
    """

    def __init__(
        self,
        image: Any,
        axis: Axis = 0,
        model: str | Path = "nano",
        *,
        rgb: bool = False,
        limits: tuple[float, float] | IntensityMapping | str | None = None,
        device: DeviceName = "auto",
        options: InferenceOptions = NATIVE,
        at: Mapping[Axis, int] | None = None,
        channel: int | Sequence[int] | None = None,
        volumes: Axis | None = None,
        level: int = 0,
        series: str | None = None,
        stack_view: StackView | None = None,
        embedding_cache: EmbeddingCache = None,
        **core: Any,
    ) -> None:
        from napari_sam2.io.images.opening import frames_of

        opened = _open(image, rgb, level, series)
        self._level = level
        self._channels = tuple(channel) if isinstance(channel, Sequence) else ()
        frames = frames_of(opened, axis, at=at, channel=channel, volumes=volumes, view=stack_view)
        self.source = opened.source
        mapping = sample_percentiles(frames) if limits is None else _given_limits(limits, frames)
        resolve(model)  # refuse a missing model now, not at the first click
        segmenter = LazySegmenter(
            lambda: make_segmenter(
                model,
                frames,
                mapping,
                device=device,
                options=options,
                depth=self.stack_view.depth,
                embedding_cache=embedding_cache,
            )
        )
        self.model, self.options = str(model), options
        view, engine = frames.stack_view, InlineEngine(segmenter)
        super().__init__(frames, engine, stack_view=view, mapping=mapping, **core)

    @property
    def mapping(self) -> IntensityMapping:
        """How the frames are seen."""
        mapping = super().mapping
        assert mapping is not None  # given when the session was made, and never taken away
        return mapping

    def export(
        self, path: str | Path, format: str | None = None, *, overwrite: bool = False
    ) -> Path:
        """Write what was found to a file or folder that other programs read; return its path.

        The ending says the format: ``.tif``, ``.ome.zarr``, ``.nii.gz``, ``.dcm`` (a segmentation, if the image is
        DICOM), ``.json`` (COCO), ``.csv`` (measurements). `format` says it for folders: "ctc" or "davis".

        Raises
        ------
        FileFormatError, LabelsError, StorageError
            If it cannot be written there, or not in this format; what was there before is as it was.
        """
        from napari_sam2.io.exports import export

        return export(self.result(self.source), path, format, overwrite=overwrite)

    def measure(self) -> tuple[Measurement, ...]:
        """Return size, place, brightness and score of every object on every frame on which it is visible."""
        return tuple(measure(self.result(self.source)))

    def save(self, path: str | Path, *, with_masks: bool = True) -> None:
        """Write a session file: all that was said, what the masks depend on besides, and the masks; see `open`.

        Masks lie in a file beside it, and the session opens without them, too: they can be tracked again.

        Raises
        ------
        FileFormatError
            If it would be larger than what is read; an earlier file is left as it was.
        StorageError
            If it cannot be written; an earlier file is left as it was.
        """
        from napari_sam2.io.session_parts import ImagePlace
        from napari_sam2.io.sessions import ImageFacts, ModelFacts, SessionFile, write_session

        write_session(
            path,
            SessionFile(
                self.saved,
                self.stack_view.frame_axis,
                ImageFacts.of(self.frames),
                self.stack_view,
                self.mapping,
                self.options,
                ModelFacts(self.model, weights_sha256(self.model)),
                ImagePlace(self.source, self._level, self._channels),
                Fingerprint.of(self.frames),
                self.kept if with_masks else None,
                self.log,
            ),
        )

    @classmethod
    def open(
        cls,
        path: str | Path,
        image: Any = None,
        *,
        model: str | Path | None = None,
        device: DeviceName = "auto",
        masks: bool = True,
        embedding_cache: EmbeddingCache = None,
    ) -> Session:
        """Return a session as it was saved, on the image that it was made on; a prompt file is opened likewise.

        All masks are there at once. If they were not saved, or the model or the image is another one, what was prompted
        is answered again, and what was tracked comes with `propagate`: to the pixel as it was, if nothing has changed.

        Parameters
        ----------
        path : str or Path
            A session file, or a prompt file.
        image : array or path, optional
            As for `Session`; by default the image that the file names.
        model : str or Path, optional
            Another model than the one that the file names.
        device : {"auto", "cpu", "cuda", "mps"}
            Where the network runs.
        masks : bool
            Take up the masks that were saved; otherwise all are to be found again.
        embedding_cache : bool or path, optional
            As for `Session`.

        Raises
        ------
        FileFormatError
            If the file is damaged or of another kind.
        FrameReadError
            If its image is not there any more.
        ImageError
            If the image has another shape or type.
        """
        from napari_sam2.io.sessions import read_session

        file = read_session(path)
        name = model or ("nano" if file.model is None else file.model.name)
        place = file.place
        if image is None and place is not None:
            told = "none" if place.path is None else without_home(place.path)
            logger.info("%s is opened on the image that it names, %s", Path(path).name, told)
        session = cls(
            _image_of(path, place) if image is None else image,
            level=0 if place is None or image is not None else place.level,
            series=None if place is None or image is not None else _series_of(place),
            channel=None if place is None or not place.channels else place.channels,
            axis=file.axis or 0,
            stack_view=file.stack_view,
            model=name,
            rgb=file.image is not None and file.image.is_rgb,
            limits=file.mapping,
            device=device,
            options=file.options or NATIVE,
            embedding_cache=embedding_cache,
        )
        if file.image is not None:
            file.image.check(session.frames)
        if masks and session._is_as_saved(file, path, name):
            session.take_up(file.saved, file.kept or Kept(), file.log)
        else:
            session.reopen(file.saved)
        return session

    def _is_as_saved(self, file: SessionFile, path: str | Path, model: str | Path) -> bool:
        """Say whether the masks that a file keeps are those that would be found now; if not, say why not."""
        if file.notice:
            logger.warning("%s; they are to be tracked again", file.notice)
        if file.kept is None:
            return False
        if file.model is None or file.model.sha256 not in (None, weights_sha256(model)):
            logger.warning(
                "%s was made with other weights; masks are to be tracked again", Path(path).name
            )
            return False
        changed = () if file.fingerprint is None else file.fingerprint.differing(self.frames)
        if changed:
            listed = ", ".join(map(str, changed))
            logger.warning(
                "the image of %s has changed, at least on frames %s; masks are to be tracked again",
                Path(path).name,
                listed,
            )
        return not changed


def _image_of(path: str | Path, place: ImagePlace | None) -> Path:
    """Return the path of the image that a session file names."""
    if place is None or place.path is None:
        raise FrameReadError(
            f"{path} does not say where its image is", remedy="give the image as well"
        )
    found = Path(place.path)
    if not found.exists():
        raise FrameReadError(
            f"the image of {path} is not at {found}", remedy="bring it back, or say where it is now"
        )
    return found


def _series_of(place: ImagePlace) -> str | None:
    is_folder = place.path is not None and Path(place.path).is_dir()
    return place.source.part if place.source.kind == "dicom" and is_folder else None


def _given_limits(
    limits: tuple[float, float] | IntensityMapping | str, frames: Frames
) -> IntensityMapping:
    if isinstance(limits, IntensityMapping):
        return limits
    if isinstance(limits, str):
        return named_window(limits, frames)
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"limits must be two numbers (low, high), got {limits!r}",
            remedy="leave them out to take percentiles of the stack",
        ) from error
    return IntensityMapping(low, high)


def _open(image: Any, rgb: bool, level: int, series: str | None) -> OpenedImage:
    from napari_sam2.io.images import OpenedImage, open_image

    if isinstance(image, OpenedImage):
        return image
    if isinstance(image, (str, PathLike)):
        return open_image(Path(fspath(image)), level=level, series=series)
    if not (hasattr(image, "shape") and hasattr(image, "dtype")):
        raise ImageError(
            f"an image is an array or a path, got {type(image).__name__}",
            remedy="pass numpy.asarray(image), or the path of a file",
        )
    if rgb and (len(image.shape) < 3 or image.shape[-1] != 3):
        raise ImageError(
            f"an RGB image has a last axis of length 3, got shape {tuple(image.shape)}",
            remedy="drop the alpha channel, or choose one channel",
        )
    placement = Placement.plain(len(image.shape) - rgb)
    return OpenedImage(image, rgb, ImageSource("image", placement))
