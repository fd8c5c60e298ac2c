//! The parsers of edge by themselves: they are built from where they stand, so that fuzzing them takes neither the HTTP
//! engine nor minutes of building it under a sanitizer. A parser that names another module of edge cannot stand here.

#[path = "../../src/l4"]
pub mod l4 {
    pub mod client_hello;
    pub mod postgres;
}

#[path = "../../src/listen"]
pub mod listen {
    pub mod proxy_header;
}
