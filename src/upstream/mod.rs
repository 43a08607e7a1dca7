//! Where requests go.

mod url;

pub(crate) use url::percent_decode;
pub use url::{BaseUrl, JoinError, Scheme, query_key, replace_key};
