//! The two sides of a connection.

/// The side of a connection that an endpoint is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The side that opens the connection. It masks every frame that it sends.
    Client,
    /// The side that accepts the connection. It never masks.
    Server,
}
