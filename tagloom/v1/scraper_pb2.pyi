import datetime

from google.longrunning import operations_pb2 as _operations_pb2
from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FolderSource(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class PostOptions(_message.Message):
    __slots__ = ("first_picture_only", "likes", "comments")
    FIRST_PICTURE_ONLY_FIELD_NUMBER: _ClassVar[int]
    LIKES_FIELD_NUMBER: _ClassVar[int]
    COMMENTS_FIELD_NUMBER: _ClassVar[int]
    first_picture_only: bool
    likes: bool
    comments: bool
    def __init__(self, first_picture_only: _Optional[bool] = ..., likes: _Optional[bool] = ..., comments: _Optional[bool] = ...) -> None: ...

class HashtagSource(_message.Message):
    __slots__ = ("hashtag", "max_posts", "more_hashtags", "options")
    HASHTAG_FIELD_NUMBER: _ClassVar[int]
    MAX_POSTS_FIELD_NUMBER: _ClassVar[int]
    MORE_HASHTAGS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    hashtag: str
    max_posts: int
    more_hashtags: _containers.RepeatedScalarFieldContainer[str]
    options: PostOptions
    def __init__(self, hashtag: _Optional[str] = ..., max_posts: _Optional[int] = ..., more_hashtags: _Optional[_Iterable[str]] = ..., options: _Optional[_Union[PostOptions, _Mapping]] = ...) -> None: ...

class ProfileSource(_message.Message):
    __slots__ = ("profile", "max_posts", "more_profiles", "options")
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    MAX_POSTS_FIELD_NUMBER: _ClassVar[int]
    MORE_PROFILES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    profile: str
    max_posts: int
    more_profiles: _containers.RepeatedScalarFieldContainer[str]
    options: PostOptions
    def __init__(self, profile: _Optional[str] = ..., max_posts: _Optional[int] = ..., more_profiles: _Optional[_Iterable[str]] = ..., options: _Optional[_Union[PostOptions, _Mapping]] = ...) -> None: ...

class ZipSource(_message.Message):
    __slots__ = ("path",)
    PATH_FIELD_NUMBER: _ClassVar[int]
    path: str
    def __init__(self, path: _Optional[str] = ...) -> None: ...

class S3Source(_message.Message):
    __slots__ = ("url",)
    URL_FIELD_NUMBER: _ClassVar[int]
    url: str
    def __init__(self, url: _Optional[str] = ...) -> None: ...

class UrlsSource(_message.Message):
    __slots__ = ("path", "urls", "sha256", "count")
    PATH_FIELD_NUMBER: _ClassVar[int]
    URLS_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    path: str
    urls: _containers.RepeatedScalarFieldContainer[str]
    sha256: str
    count: int
    def __init__(self, path: _Optional[str] = ..., urls: _Optional[_Iterable[str]] = ..., sha256: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Collection(_message.Message):
    __slots__ = ("name", "create_time", "folder", "hashtag", "profile", "zip", "s3", "urls", "item_count", "stored_count", "duplicate_count", "skipped_count", "refused_count", "content_sha256", "frames_per_video", "revision", "update_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    HASHTAG_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    ZIP_FIELD_NUMBER: _ClassVar[int]
    S3_FIELD_NUMBER: _ClassVar[int]
    URLS_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNT_FIELD_NUMBER: _ClassVar[int]
    STORED_COUNT_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_COUNT_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_COUNT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_SHA256_FIELD_NUMBER: _ClassVar[int]
    FRAMES_PER_VIDEO_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    create_time: _timestamp_pb2.Timestamp
    folder: FolderSource
    hashtag: HashtagSource
    profile: ProfileSource
    zip: ZipSource
    s3: S3Source
    urls: UrlsSource
    item_count: int
    stored_count: int
    duplicate_count: int
    skipped_count: int
    refused_count: int
    content_sha256: str
    frames_per_video: int
    revision: int
    update_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., folder: _Optional[_Union[FolderSource, _Mapping]] = ..., hashtag: _Optional[_Union[HashtagSource, _Mapping]] = ..., profile: _Optional[_Union[ProfileSource, _Mapping]] = ..., zip: _Optional[_Union[ZipSource, _Mapping]] = ..., s3: _Optional[_Union[S3Source, _Mapping]] = ..., urls: _Optional[_Union[UrlsSource, _Mapping]] = ..., item_count: _Optional[int] = ..., stored_count: _Optional[int] = ..., duplicate_count: _Optional[int] = ..., skipped_count: _Optional[int] = ..., refused_count: _Optional[int] = ..., content_sha256: _Optional[str] = ..., frames_per_video: _Optional[int] = ..., revision: _Optional[int] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Comment(_message.Message):
    __slots__ = ("owner", "text", "time")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    owner: str
    text: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, owner: _Optional[str] = ..., text: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("state", "reason", "sha256", "size_bytes", "source", "post", "owner", "tags", "time", "detail", "permalink", "caption", "feed", "second", "likes", "comments")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Item.State]
        STATE_STORED: _ClassVar[Item.State]
        STATE_DUPLICATE: _ClassVar[Item.State]
        STATE_SKIPPED: _ClassVar[Item.State]
        STATE_REFUSED: _ClassVar[Item.State]
    STATE_UNSPECIFIED: Item.State
    STATE_STORED: Item.State
    STATE_DUPLICATE: Item.State
    STATE_SKIPPED: Item.State
    STATE_REFUSED: Item.State
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    POST_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    PERMALINK_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    FEED_FIELD_NUMBER: _ClassVar[int]
    SECOND_FIELD_NUMBER: _ClassVar[int]
    LIKES_FIELD_NUMBER: _ClassVar[int]
    COMMENTS_FIELD_NUMBER: _ClassVar[int]
    state: Item.State
    reason: str
    sha256: str
    size_bytes: int
    source: str
    post: str
    owner: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    time: _timestamp_pb2.Timestamp
    detail: str
    permalink: str
    caption: str
    feed: str
    second: float
    likes: int
    comments: _containers.RepeatedCompositeFieldContainer[Comment]
    def __init__(self, state: _Optional[_Union[Item.State, str]] = ..., reason: _Optional[str] = ..., sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ..., source: _Optional[str] = ..., post: _Optional[str] = ..., owner: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., detail: _Optional[str] = ..., permalink: _Optional[str] = ..., caption: _Optional[str] = ..., feed: _Optional[str] = ..., second: _Optional[float] = ..., likes: _Optional[int] = ..., comments: _Optional[_Iterable[_Union[Comment, _Mapping]]] = ...) -> None: ...

class CreateCollectionRequest(_message.Message):
    __slots__ = ("collection_id", "folder", "hashtag", "profile", "zip", "s3", "urls", "request_id", "frames_per_video")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    FOLDER_FIELD_NUMBER: _ClassVar[int]
    HASHTAG_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    ZIP_FIELD_NUMBER: _ClassVar[int]
    S3_FIELD_NUMBER: _ClassVar[int]
    URLS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FRAMES_PER_VIDEO_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    folder: FolderSource
    hashtag: HashtagSource
    profile: ProfileSource
    zip: ZipSource
    s3: S3Source
    urls: UrlsSource
    request_id: str
    frames_per_video: int
    def __init__(self, collection_id: _Optional[str] = ..., folder: _Optional[_Union[FolderSource, _Mapping]] = ..., hashtag: _Optional[_Union[HashtagSource, _Mapping]] = ..., profile: _Optional[_Union[ProfileSource, _Mapping]] = ..., zip: _Optional[_Union[ZipSource, _Mapping]] = ..., s3: _Optional[_Union[S3Source, _Mapping]] = ..., urls: _Optional[_Union[UrlsSource, _Mapping]] = ..., request_id: _Optional[str] = ..., frames_per_video: _Optional[int] = ...) -> None: ...

class RefreshCollectionRequest(_message.Message):
    __slots__ = ("name", "max_posts", "request_id")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MAX_POSTS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    name: str
    max_posts: int
    request_id: str
    def __init__(self, name: _Optional[str] = ..., max_posts: _Optional[int] = ..., request_id: _Optional[str] = ...) -> None: ...

class ForgetItemsRequest(_message.Message):
    __slots__ = ("sha256", "post", "request_id")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    POST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    post: str
    request_id: str
    def __init__(self, sha256: _Optional[str] = ..., post: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class Takedown(_message.Message):
    __slots__ = ("sha256", "collections", "unfinished")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    UNFINISHED_FIELD_NUMBER: _ClassVar[int]
    sha256: _containers.RepeatedScalarFieldContainer[str]
    collections: _containers.RepeatedScalarFieldContainer[str]
    unfinished: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, sha256: _Optional[_Iterable[str]] = ..., collections: _Optional[_Iterable[str]] = ..., unfinished: _Optional[_Iterable[str]] = ...) -> None: ...

class GetCollectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListCollectionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCollectionsResponse(_message.Message):
    __slots__ = ("collections", "next_page_token")
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedCompositeFieldContainer[Collection]
    next_page_token: str
    def __init__(self, collections: _Optional[_Iterable[_Union[Collection, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ListItemsRequest(_message.Message):
    __slots__ = ("parent", "page_size", "page_token")
    PARENT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    parent: str
    page_size: int
    page_token: str
    def __init__(self, parent: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListItemsResponse(_message.Message):
    __slots__ = ("items", "next_page_token")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Item]
    next_page_token: str
    def __init__(self, items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteCollectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...
