//! The table of variables (spec §2): the one source of names, defaults and words for the parser, `gpt-load check`,
//! `.env.example` and the READMEs' tables. How a value is read is in `values`.

use super::values::accepted;

/// One environment variable of ours.
#[derive(Debug)]
pub struct Variable {
    /// Its name in the environment.
    pub name: &'static str,
    /// What an unset variable stands for, as it would be written; empty where there is nothing to write.
    pub default: &'static str,
    /// Under which heading it is listed.
    pub group: Group,
    /// Whether its value may be shown.
    pub secrecy: Secrecy,
    /// What is accepted, as the end of the sentence "… is not".
    pub accepted: &'static str,
    /// One line for `.env.example` and the README.
    pub doc: &'static str,
    /// The same for README_CN.
    pub doc_cn: &'static str,
}

/// Whether a value may be shown as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrecy {
    /// To everyone.
    Open,
    /// It is a secret or may have one inside: shown redacted or not at all.
    Secret,
}

/// The headings, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Where we listen.
    Listening,
    /// Who may use us.
    Access,
    /// The key pool.
    Keys,
    /// Where requests go.
    Upstreams,
    /// How upstreams are reached; the world's variables, which are also read in their lower-case forms.
    OutboundProxy,
    /// How much is taken on.
    Limits,
    /// How long is waited.
    Timeouts,
    /// What browsers and compression need.
    CorsAndGzip,
    /// What operators see of us.
    Insight,
    /// What is logged, how and where.
    Logs,
}

impl Group {
    /// The heading in English and in Chinese.
    pub fn headings(self) -> (&'static str, &'static str) {
        match self {
            Self::Listening => ("Listening", "监听"),
            Self::Access => ("Access", "访问控制"),
            Self::Keys => ("Keys", "密钥"),
            Self::Upstreams => ("Upstreams", "上游"),
            Self::OutboundProxy => ("Outbound proxy", "出站代理"),
            Self::Limits => ("Limits", "限额"),
            Self::Timeouts => ("Timeouts, in seconds", "超时（单位：秒）"),
            Self::CorsAndGzip => ("CORS and compression", "跨域与压缩"),
            Self::Insight => ("Insight", "可观测性"),
            Self::Logs => ("Logs", "日志"),
        }
    }
}

/// A static for each variable, and the list of them all: none can be forgotten in it.
macro_rules! variables {
    ($($group:ident {
        $($name:ident = $default:literal $secrecy:ident $accepted:expr, $doc:literal, $doc_cn:literal;)+
    })+) => {
        $($(
            pub(super) static $name: Variable = Variable {
                name: stringify!($name),
                default: $default,
                group: Group::$group,
                secrecy: Secrecy::$secrecy,
                accepted: $accepted,
                doc: $doc,
                doc_cn: $doc_cn,
            };
        )+)+

        /// All variables, in the order in which they are listed.
        pub static VARIABLES: &[&Variable] = &[$($(&$name),+),+];
    };
}

variables! {
    Listening {
        HOST = "0.0.0.0" Open accepted::HOST,
            "Address to listen on: `0.0.0.0` for all of IPv4, `::` for IPv6 too, `127.0.0.1` for this machine alone.",
            "监听地址：`0.0.0.0` 为全部 IPv4，`::` 同时包含 IPv6，`127.0.0.1` 仅限本机。";
        PORT = "3000" Open accepted::PORT,
            "Port to listen on; `0` takes any free one.",
            "监听端口；`0` 表示任选一个空闲端口。";
        REUSE_PORT = "false" Open accepted::FLAG,
            "Let another gpt-load listen on the same port, so that the next one can start before this one ends; else a taken port is an error.",
            "允许另一个 gpt-load 监听同一端口，以便新进程先启动、旧进程后退出；否则端口被占用即报错。";
        WORKERS = "" Open accepted::WORKERS,
            "Worker threads; empty: as many as the cores that this process may use.",
            "工作线程数；留空则等于本进程可用的 CPU 核数。";
        TLS_CERT_FILE = "" Open accepted::READABLE_FILE,
            "Certificate chain (PEM) to serve HTTPS with; empty: plain HTTP. Needs `TLS_KEY_FILE`.",
            "用于提供 HTTPS 的证书链（PEM）；留空则使用普通 HTTP。需同时设置 `TLS_KEY_FILE`。";
        TLS_KEY_FILE = "" Open accepted::READABLE_FILE,
            "Private key (PEM) of that certificate.",
            "该证书的私钥（PEM）。";
    }

    Access {
        TRUST_FORWARDED = "false" Open accepted::FLAG,
            "Pass `X-Forwarded-*` and `Forwarded` on to upstreams, with the client's address appended; else they stay here.",
            "将 `X-Forwarded-*` 和 `Forwarded` 转发给上游并追加客户端地址；否则不转发。";
        AUTH_KEY = "" Secret accepted::TOKENS,
            "Tokens that clients must send, separated by commas; empty: everyone who can connect may use the keys.",
            "客户端必须携带的令牌，以逗号分隔；留空则任何能连接的人都可以使用密钥。";
        ADMIN_KEY = "" Secret accepted::TOKENS,
            "Tokens for the monitoring endpoints, separated by commas; empty: those of `AUTH_KEY`.",
            "监控端点的令牌，以逗号分隔；留空则与 `AUTH_KEY` 相同。";
    }

    Keys {
        KEYS_FILE = "keys.txt" Open accepted::PATH,
            "File with the API keys, one a line; changes are noticed while running.",
            "API 密钥文件，每行一个；运行中会自动感知文件变化。";
        START_INDEX = "0" Open accepted::INDEX,
            "Number of the key to begin with, counted from 0; beyond the last key it wraps around.",
            "从第几个密钥开始轮询（从 0 计数）；超过最后一个时回绕。";
        BLACKLIST_THRESHOLD = "1" Open accepted::FROM_ONE,
            "Temporary failures in a row after which a key is set aside, where the provider names no wait.",
            "提供商未给出等待时间时，密钥连续发生多少次临时失败后被暂时停用。";
        KEY_COOLDOWN = "30" Open accepted::COOLDOWN,
            "Seconds of a key's first cooldown where the provider names none; it doubles with each in a row.",
            "提供商未给出等待时间时密钥首次冷却的秒数；连续冷却时逐次加倍。";
        KEY_COOLDOWN_MAX = "3600" Open accepted::COOLDOWN,
            "Seconds of the longest such cooldown, and of the first for a key that is out of credit.",
            "上述冷却的最长秒数，也是额度耗尽的密钥的首次冷却秒数。";
        KEY_REVALIDATE_INTERVAL = "3600" Open accepted::SECONDS_OR_NEVER,
            "Seconds between free checks of permanently blacklisted keys, and between live tests of keys in a longer cooldown; `0`: never, but for keys that an outage has swept away.",
            "对永久拉黑的密钥进行免费复查的间隔秒数，也是冷却更长的密钥以实际请求试探的间隔；`0` 表示从不（被上游故障波及的密钥除外）。";
        MAX_KEY_WAIT = "5" Open accepted::SECONDS_OR_NONE,
            "Seconds that a request may wait for a key to come back; `0`: not at all.",
            "请求等待密钥恢复的最长秒数；`0` 表示不等待。";
        STATE_FILE = "" Open accepted::PATH,
            "File that keeps the blacklist across restarts; empty: it lives in memory.",
            "跨重启保存黑名单的文件；留空则仅保存在内存中。";
    }

    Upstreams {
        OPENAI_BASE_URL = "https://api.openai.com" Secret accepted::BASE_URLS,
            "Base URLs of the upstreams, separated by commas: used in turn, and every key meets every one of them.",
            "上游的基础 URL，以逗号分隔：轮流使用，每个密钥都会用于其中每一个。";
        UPSTREAM_CA_FILE = "" Open accepted::READABLE_FILE,
            "Certificates (PEM) of authorities to trust at upstreams, beside the system's.",
            "除系统根证书外，连接上游时额外信任的 CA 证书（PEM）。";
        MAX_RETRIES = "3" Open accepted::RETRIES,
            "Further attempts after a failed one, each with another key; `0`: none.",
            "失败后的重试次数，每次换用另一个密钥；`0` 表示不重试。";
    }

    OutboundProxy {
        HTTPS_PROXY = "" Secret accepted::PROXY,
            "Proxy to reach `https://` upstreams through: `http://` or `socks5://`, with `user:password@` if need be.",
            "访问 `https://` 上游所用的代理：`http://` 或 `socks5://`，必要时可带 `user:password@`。";
        HTTP_PROXY = "" Secret accepted::PROXY,
            "The same for `http://` upstreams.",
            "访问 `http://` 上游所用的代理，格式同上。";
        ALL_PROXY = "" Secret accepted::PROXY,
            "For both, where the one above is not set.",
            "以上未设置时两者共用的代理。";
        NO_PROXY = "" Open accepted::NO_PROXY,
            "Hosts to reach without a proxy, separated by commas: names (with what is below them), addresses, networks, `*`.",
            "不经代理访问的主机，以逗号分隔：域名（含其子域名）、地址、网段或 `*`。";
    }

    Limits {
        MAX_CONCURRENT_REQUESTS = "100" Open accepted::CONCURRENCY,
            "Proxied requests at a time; the next one is answered 429.",
            "同时处理的代理请求数；超出者返回 429。";
        MAX_CONNECTIONS = "" Open accepted::CONCURRENCY,
            "Clients' connections at a time; further ones are answered 503 or closed; empty: as the limit of open files allows.",
            "同时保持的客户端连接数；超出者返回 503 或被关闭；留空则取决于打开文件数上限。";
        MAX_REPLAY_BODY = "16MiB" Open accepted::SIZE,
            "Largest request body that is kept for retries; a larger one streams through and is not retried.",
            "为重试而保留的请求体上限；更大的请求体直接流式转发，不重试。";
        MAX_REQUEST_BODY = "1GiB" Open accepted::SIZE,
            "Largest request body that is taken at all; beyond it the answer is 413.",
            "可接受的请求体上限；超出返回 413。";
    }

    Timeouts {
        SERVER_READ_TIMEOUT = "120" Open accepted::SECONDS,
            "Reading a request (408).",
            "读取请求（超时返回 408）。";
        SERVER_WRITE_TIMEOUT = "1800" Open accepted::SECONDS,
            "An answer or a stream that makes no progress.",
            "响应或流没有任何进展。";
        SERVER_IDLE_TIMEOUT = "120" Open accepted::SECONDS,
            "A client's kept-alive connection without a request.",
            "客户端长连接空闲。";
        SERVER_GRACEFUL_SHUTDOWN_TIMEOUT = "60" Open accepted::SECONDS,
            "Finishing what runs, streams too, before the process ends.",
            "进程退出前等待进行中的请求（含流）完成。";
        REQUEST_TIMEOUT = "30" Open accepted::SECONDS,
            "A request that does not stream, from its first attempt to its last byte, retries included (504).",
            "非流式请求从首次尝试到最后一个字节，含重试（超时返回 504）。";
        RESPONSE_TIMEOUT = "30" Open accepted::SECONDS,
            "Connecting to an upstream, and for a streaming request also the wait for its answer to begin.",
            "连接上游；对流式请求还包括等待响应开始。";
        IDLE_CONN_TIMEOUT = "120" Open accepted::SECONDS,
            "A kept-alive connection to an upstream without a request.",
            "与上游的长连接空闲。";
    }

    CorsAndGzip {
        ENABLE_CORS = "true" Open accepted::FLAG,
            "Answer browsers' CORS preflights and add CORS headers.",
            "响应浏览器的 CORS 预检并添加 CORS 头。";
        ALLOWED_ORIGINS = "*" Open accepted::ORIGINS,
            "Origins whose pages may use us, separated by commas; `*`: all.",
            "允许的来源，以逗号分隔；`*` 表示全部。";
        ALLOWED_METHODS = "GET,POST,PUT,DELETE,OPTIONS" Open accepted::METHODS,
            "Methods that they may use; `*`: all.",
            "允许的方法；`*` 表示全部。";
        ALLOWED_HEADERS = "*" Open accepted::HEADERS,
            "Request headers that they may send; `*`: all.",
            "允许的请求头；`*` 表示全部。";
        ALLOW_CREDENTIALS = "false" Open accepted::FLAG,
            "Let browsers send credentials; needs `ALLOWED_ORIGINS` to be a list, not `*`.",
            "允许浏览器携带凭据；要求 `ALLOWED_ORIGINS` 为明确的列表而非 `*`。";
        ENABLE_GZIP = "true" Open accepted::FLAG,
            "Compress answers for clients that accept it; never event streams.",
            "为支持的客户端压缩响应；事件流从不压缩。";
    }

    Insight {
        USAGE = "true" Open accepted::FLAG,
            "Read how many tokens answers say they cost, as they pass.",
            "在响应经过时读取其中声明的 token 用量。";
        RESPONSE_TRACE = "false" Open accepted::FLAG,
            "Tell in each answer whose time it took and whose fault it was: `Server-Timing` and `Proxy-Status` (RFC 9209).",
            "在每个响应中说明时间花在哪里、错误归谁：`Server-Timing` 与 `Proxy-Status`（RFC 9209）。";
        ALERT_WEBHOOK = "" Secret accepted::WEBHOOK,
            "URL that is told, by a POST with JSON, before the pool runs out of keys, and when it is well again.",
            "密钥池即将耗尽以及恢复正常时，以 JSON POST 通知的 URL。";
    }

    Logs {
        LOG_LEVEL = "info" Open accepted::LEVEL,
            "Least weight that is logged: `debug`, `info`, `warn` or `error`.",
            "最低日志级别：`debug`、`info`、`warn` 或 `error`。";
        LOG_FORMAT = "text" Open accepted::FORMAT,
            "`text` for people, `json` for machines.",
            "`text` 便于人阅读，`json` 便于机器处理。";
        LOG_ENABLE_REQUEST = "true" Open accepted::FLAG,
            "Log a line for each request.",
            "为每个请求记录一行日志。";
        LOG_SLOW_REQUEST = "0" Open accepted::SECONDS_OR_NEVER,
            "Seconds until an answer begins from which its request is logged as slow, as a warning; `0`: never.",
            "响应开始前等待达到此秒数的请求，记录为慢请求（警告）；`0` 表示从不。";
        LOG_ENABLE_FILE = "false" Open accepted::FLAG,
            "Log into a file too, a new one each day.",
            "同时写入日志文件，每天一个新文件。";
        LOG_FILE_PATH = "logs/app.log" Open accepted::PATH,
            "That file.",
            "日志文件路径。";
        LOG_FILE_MAX_FILES = "30" Open accepted::FILES,
            "Files of earlier days that are kept; the oldest beyond them are removed. `0`: all are kept.",
            "保留的往日日志文件数；超出时删除最旧的。`0` 表示全部保留。";
    }
}
