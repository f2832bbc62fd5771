"""What we know of the world by name: executors, what cannot travel, what changes its object."""

from types import MappingProxyType
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: The bytes without which a file cannot matter: the first test that every file takes.
NEEDLES: Final = (
    rb"concurrent\s*\.\s*futures|concurrent\s+import|run_in_executor|distexec"
    rb"|multiprocessing|ThreadPool|ProcessPool"
)

#: What ``distexec`` exports of ``concurrent.futures``; the rest stays where it is.
MIRRORED: Final = _words(
    """ALL_COMPLETED BrokenExecutor CancelledError Executor FIRST_COMPLETED FIRST_EXCEPTION Future
    InvalidStateError ProcessPoolExecutor ThreadPoolExecutor TimeoutError as_completed wait"""
)

#: Executor classes by every name: whether threads or processes, and whose interface.
EXECUTORS: Final = MappingProxyType(
    {
        "concurrent.futures.ThreadPoolExecutor": ("thread", "futures"),
        "concurrent.futures.ProcessPoolExecutor": ("process", "futures"),
        "multiprocessing.pool.ThreadPool": ("thread", "pool"),
        "multiprocessing.dummy.Pool": ("thread", "pool"),
        "multiprocessing.Pool": ("process", "pool"),
        "multiprocessing.pool.Pool": ("process", "pool"),
    }
)

#: Methods of pools that take a function to run.
SUBMITTING: Final = _words(
    """submit map apply apply_async imap imap_unordered starmap map_async starmap_async"""
)

_SUBMODULES: Final = (
    "concurrent.futures.thread.",
    "concurrent.futures.process.",
    "concurrent.futures._base.",
)


def canonical(dotted: str) -> str:
    """One name for what the standard library reaches by several: ``.thread.ThreadPoolExecutor``."""
    for prefix in _SUBMODULES:
        if dotted.startswith(prefix) and dotted[len(prefix) :] in MIRRORED:
            return "concurrent.futures." + dotted[len(prefix) :]
    return dotted


#: Constructors whose objects cannot be sent to another process, by what they make.
_CANNOT_TRAVEL: Final = {
    "lock": """threading.Lock threading.RLock threading.Semaphore threading.BoundedSemaphore
        threading.Condition threading.Event threading.Barrier multiprocessing.Lock
        multiprocessing.RLock multiprocessing.Semaphore multiprocessing.BoundedSemaphore
        multiprocessing.Condition multiprocessing.Event multiprocessing.Barrier
        _thread.allocate_lock
        asyncio.Lock asyncio.Event asyncio.Semaphore asyncio.Condition filelock.FileLock
        multiprocessing.Value multiprocessing.Array""",
    "queue": """queue.Queue queue.LifoQueue queue.PriorityQueue queue.SimpleQueue
        multiprocessing.Queue multiprocessing.SimpleQueue multiprocessing.JoinableQueue
        asyncio.Queue
        multiprocessing.Pipe""",
    "thread": """threading.Thread threading.Timer multiprocessing.Process threading.current_thread
        subprocess.Popen asyncio.create_task asyncio.get_event_loop asyncio.new_event_loop
        asyncio.get_running_loop concurrent.futures.Future asyncio.Future asyncio.ensure_future
        asyncio.wrap_future""",
    "weak": """weakref.ref weakref.proxy weakref.WeakValueDictionary weakref.WeakKeyDictionary
        weakref.WeakSet weakref.WeakMethod weakref.finalize""",
    "socket": """socket.socket socket.create_connection socket.create_server
        ssl.create_default_context
        paramiko.SSHClient ftplib.FTP smtplib.SMTP smtplib.SMTP_SSL imaplib.IMAP4 imaplib.IMAP4_SSL
        telnetlib.Telnet zmq.Context websocket.create_connection serial.Serial""",
    "file": """builtins.open io.open codecs.open gzip.open bz2.open lzma.open zipfile.ZipFile
        tarfile.open tarfile.TarFile tempfile.TemporaryFile tempfile.NamedTemporaryFile
        tempfile.SpooledTemporaryFile os.fdopen mmap.mmap h5py.File netCDF4.Dataset csv.reader
        csv.writer
        csv.DictReader csv.DictWriter urllib.request.urlopen logging.FileHandler tqdm.tqdm
        tqdm.auto.tqdm
        shelve.open dbm.open pyodbc.Cursor""",
    "database": """sqlite3.connect psycopg2.connect psycopg.connect MySQLdb.connect pymysql.connect
        mysql.connector.connect cx_Oracle.connect oracledb.connect pyodbc.connect duckdb.connect
        pymongo.MongoClient redis.Redis redis.StrictRedis redis.from_url redis.Redis.from_url
        sqlalchemy.create_engine sqlalchemy.orm.Session sqlalchemy.orm.sessionmaker
        sqlalchemy.orm.scoped_session sqlmodel.create_engine elasticsearch.Elasticsearch
        cassandra.cluster.Cluster neo4j.GraphDatabase.driver psycopg2.pool.ThreadedConnectionPool
        chromadb.Client chromadb.PersistentClient sqlmodel.Session""",
    "client": """httpx.Client httpx.AsyncClient aiohttp.ClientSession urllib3.PoolManager
        http.client.HTTPConnection http.client.HTTPSConnection boto3.client boto3.resource
        boto3.Session
        boto3.session.Session openai.OpenAI openai.AsyncOpenAI openai.Client anthropic.Anthropic
        google.cloud.storage.Client google.cloud.bigquery.Client docker.from_env docker.DockerClient
        selenium.webdriver.Chrome selenium.webdriver.Firefox playwright.sync_api.sync_playwright
        grpc.insecure_channel grpc.secure_channel kubernetes.client.CoreV1Api groq.Groq
        discord.Client telegram.Bot azure.storage.blob.BlobServiceClient""",
    "session": "requests.Session requests.session cloudscraper.create_scraper",
    "model": """torch.load torch.compile torch.jit.load tensorflow.keras.models.load_model
        keras.models.load_model transformers.pipeline transformers.AutoModel.from_pretrained
        transformers.AutoTokenizer.from_pretrained transformers.AutoModelForCausalLM.from_pretrained
        onnxruntime.InferenceSession whisper.load_model faster_whisper.WhisperModel spacy.load
        sentence_transformers.SentenceTransformer llama_cpp.Llama ultralytics.YOLO easyocr.Reader
        vllm.LLM""",
    "executor": """concurrent.futures.ThreadPoolExecutor concurrent.futures.ProcessPoolExecutor
        multiprocessing.Pool multiprocessing.pool.Pool multiprocessing.pool.ThreadPool
        multiprocessing.dummy.Pool""",
    "manager": "multiprocessing.Manager",
    "thread-local": "threading.local",
    "contextvar": "contextvars.ContextVar contextvars.copy_context contextvars.Context",
}

#: Constructor name to kind of thing.
KINDS: Final = MappingProxyType(
    {name: kind for kind, names in _CANNOT_TRAVEL.items() for name in names.split()}
)

#: Types that occur in annotations only.
ANNOTATIONS: Final = MappingProxyType(
    {
        "sqlite3.Connection": "database",
        "sqlite3.Cursor": "database",
        "sqlalchemy.Engine": "database",
        "sqlalchemy.engine.Engine": "database",
        "sqlalchemy.orm.session.Session": "database",
        "sqlalchemy.ext.asyncio.AsyncSession": "database",
        "asyncio.AbstractEventLoop": "thread",
        "typing.TextIO": "file",
        "typing.IO": "file",
        "typing.BinaryIO": "file",
        "io.TextIOWrapper": "file",
        "torch.nn.Module": "model",
        "typing.Generator": "generator",
        "collections.abc.Generator": "generator",
        "playwright.sync_api.Page": "client",
        "selenium.webdriver.remote.webdriver.WebDriver": "client",
        "concurrent.futures.Executor": "executor",
        "concurrent.futures.Future": "thread",
    }
)

#: Kinds that carry a connection or a handle that pickling refuses or severs.
RESOURCES: Final = _words(
    """lock queue thread socket file database client session model executor thread-local
    contextvar generator coroutine weak"""
)

#: Calls that make a fresh, plain container.
CONTAINERS: Final = _words(
    """builtins.list builtins.dict builtins.set builtins.bytearray collections.defaultdict
    collections.OrderedDict collections.Counter collections.deque collections.ChainMap io.StringIO
    io.BytesIO"""
)

#: Methods that change the object they are called on.
MUTATORS: Final = _words(
    """append appendleft extend extendleft insert add update setdefault pop popitem popleft remove
    discard clear sort reverse difference_update intersection_update symmetric_difference_update
    subtract move_to_end __setitem__ __delitem__ __setattr__ write writelines put put_nowait
    set_result set_exception"""
)

#: Functions that change what they are given first.
CHANGES_ITS_ARGUMENT: Final = _words(
    """heapq.heappush heapq.heappop heapq.heapify heapq.heapreplace heapq.heappushpop random.shuffle
    bisect.insort bisect.insort_left bisect.insort_right builtins.setattr builtins.delattr
    builtins.next operator.setitem operator.delitem operator.iadd numpy.copyto numpy.put
    numpy.place numpy.fill_diagonal numpy.random.shuffle"""
)

#: Decorators that remember results, in each process by itself.
MEMORIZERS: Final = _words(
    "functools.lru_cache functools.cache functools.cached_property cachetools.cached joblib.memory"
)

#: State of the process by name: the effect that a change of it is.
PROCESS_STATE: Final = MappingProxyType(
    {
        "os.environ": "environment-write",
        "sys.path": "global-write",
        "sys.modules": "global-write",
        "sys.argv": "global-write",
        "sys.meta_path": "global-write",
        "sys.stdout": "global-write",
        "sys.stderr": "global-write",
    }
)

#: Parameter and variable names that usually hold something that cannot travel.
SUSPECT_NAMES: Final = MappingProxyType(
    {
        name: kind
        for kind, names in {
            "lock": "lock mutex rlock semaphore sem event stop_event cond barrier",
            "queue": "queue q task_queue result_queue work_queue",
            "database": "conn connection cursor cur engine db session db_session database mongo",
            "client": "client http_client api_client driver browser bot channel llm_client stub",
            "model": "model llm tokenizer pipeline",
            "socket": "sock socket ssh ftp",
            "file": "fh fp logfile writer pbar progress_bar progress",
        }.items()
        for name in names.split()
    }
)

#: Library functions whose effect on this process or machine matters: kind of effect.
CALL_EFFECTS: Final = MappingProxyType(
    {
        name: kind
        for kind, names in {
            "print": "builtins.print sys.stdout.write",
            "file": """builtins.open io.open os.remove os.unlink os.rename os.replace os.mkdir
                os.makedirs
                os.rmdir os.listdir os.walk os.scandir shutil.copy shutil.copyfile shutil.copy2
                shutil.move
                shutil.rmtree shutil.copytree os.path.exists os.path.isfile os.path.getsize os.stat
                gzip.open zipfile.ZipFile tarfile.open pandas.read_csv pandas.read_excel
                pandas.read_parquet numpy.load numpy.save cv2.imread cv2.imwrite PIL.Image.open
                glob.glob sqlite3.connect
                multiprocessing.shared_memory.SharedMemory
                multiprocessing.shared_memory.ShareableList""",
            "temporary": """tempfile.TemporaryDirectory tempfile.mkdtemp tempfile.mkstemp
                tempfile.mktemp
                tempfile.NamedTemporaryFile tempfile.TemporaryFile tempfile.gettempdir""",
            "subprocess": """subprocess.run subprocess.Popen subprocess.call subprocess.check_call
                subprocess.check_output os.system os.popen os.fork os.execv os.spawnv
                docker.from_env subprocess.getoutput""",
            "environment-write": "os.putenv os.unsetenv",
            "directory-write": "os.chdir os.umask os.chroot",
            "environment-read": "os.getenv os.environ.get",
            "directory-read": "os.getcwd pathlib.Path.cwd",
            "signal": "signal.signal signal.alarm signal.setitimer os.kill signal.pause",
            "terminal": "builtins.input getpass.getpass",
            "identity": """threading.current_thread threading.get_ident threading.get_native_id
                threading.main_thread threading.enumerate threading.active_count""",
            "pid": "os.getpid os.getppid",
            "asyncio": """asyncio.run_coroutine_threadsafe asyncio.get_running_loop
                asyncio.ensure_future
                asyncio.create_task asyncio.wrap_future""",
            "asyncio-run": """asyncio.run asyncio.get_event_loop asyncio.new_event_loop anyio.run
                trio.run""",
            "context": "contextvars.copy_context",
        }.items()
        for name in names.split()
    }
)

#: Methods whatever the object: kind of effect.
METHOD_EFFECTS: Final = MappingProxyType(
    {
        "read_text": "file",
        "write_text": "file",
        "read_bytes": "file",
        "write_bytes": "file",
        "unlink": "file",
        "iterdir": "file",
        "to_csv": "file",
        "to_parquet": "file",
        "to_excel": "file",
        "savefig": "file",
        "call_soon_threadsafe": "asyncio",
        "run_until_complete": "asyncio-run",
    }
)

#: Packages whose functions do what they say with plain data, wherever they run.
PLAIN_PACKAGES: Final = _words(
    """math operator json re hashlib zlib time statistics decimal fractions random string textwrap
    base64 binascii struct itertools functools collections datetime calendar urllib uuid unicodedata
    numpy scipy requests html difflib heapq bisect cmath array copy types builtins secrets ast"""
)

#: Servers that run requests of this process on the pool they are given.
SERVERS: Final = _words(
    """grpc.server socketserver.ThreadingTCPServer xmlrpc.server.SimpleXMLRPCServer
    waitress.serve cheroot.wsgi.Server wsgiref.simple_server.make_server uvicorn.run
    starlette.concurrency.run_in_threadpool tornado.ioloop.IOLoop.set_default_executor"""
)
