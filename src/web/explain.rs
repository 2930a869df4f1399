//! Why a release stands as it does, in the words of `serin explain`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::{PLAIN, WebState, answer};
use crate::store;

/// How many near names are told to whoever misspelt one.
const NAMED: usize = 3;

pub(super) async fn page(State(state): State<WebState>, Path(name): Path<String>) -> Response {
    let view = Arc::clone(&state.view.borrow());
    let history = Arc::clone(&state.history);
    let (status, wanted) = (view.releases.get(&name).cloned(), name.clone());
    let read = move || store::told(history.as_ref(), &wanted, None, status.as_deref());
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some(told))) => answer(StatusCode::OK, PLAIN, told.text()),
        Ok(Ok(None)) => {
            let known: Vec<&str> = view.releases.keys().map(String::as_str).collect();
            answer(StatusCode::NOT_FOUND, PLAIN, unknown(&name, &known))
        }
        Ok(Err(error)) => answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, format!("{error}\n")),
        Err(error) => answer(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("reading history: {error}\n")),
    }
}

/// Names what is spelt most like it.
fn unknown(name: &str, known: &[&str]) -> String {
    let mut near = known.to_vec();
    near.sort_by_cached_key(|known| strsim::damerau_levenshtein(name, known));
    near.truncate(NAMED);
    match near.as_slice() {
        [] => format!("there is no release named {name}: there are none\n"),
        near => format!("there is no release named {name}: did you mean {}?\n", near.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::unknown;

    #[test]
    fn the_nearest_names_come_first() {
        assert_eq!(unknown("chekout", &[]), "there is no release named chekout: there are none\n");
        let told = unknown("chekout", &["cart", "checkin", "checkout", "search", "users"]);
        assert_eq!(told, "there is no release named chekout: did you mean checkout, checkin, cart?\n");
    }
}
