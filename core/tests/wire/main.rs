//! The wire against the reference's vectors, against arbitrary input and against itself.

mod properties;
mod vectors;
