//! The two sides of a connection.

/// Which side of a connection an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opens the connection and masks what it sends.
    Client,
    /// Accepts the connection and never masks.
    Server,
}
