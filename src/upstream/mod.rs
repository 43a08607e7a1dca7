//! Where requests go.

mod url;

pub use url::{BaseUrl, JoinError, Scheme, query_key, replace_key};
