use super::*;

mod fixture;
mod properties;
mod reference;
mod words;
