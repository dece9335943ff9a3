//! What a misspelt word was meant to be.

/// The candidate that `word` was meant to be, if one is near enough for that.
pub(super) fn suggestion<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let word = word.to_lowercase();
    let mut near: Vec<(usize, &str)> = Vec::new();
    for candidate in candidates {
        let distance = strsim::osa_distance(&word, candidate);
        // A third of the letters may be wrong; or it is an abbreviation: `cert` for `certificate`.
        let abbreviated = word.chars().count() >= 3 && (candidate.starts_with(&word) || word.starts_with(candidate));
        if abbreviated || distance * 3 <= candidate.chars().count() {
            near.push((distance, candidate));
        }
    }
    near.into_iter().min().map(|(_, candidate)| candidate.to_owned())
}

/// What to write in place of it: the suggestion, or all that there is, behind an introduction.
pub(super) fn instead(suggestion: Option<&str>, introduction: &str, known: &[String]) -> String {
    match suggestion {
        Some(suggestion) => format!("did you mean '{suggestion}'?"),
        None => format!("{introduction} {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_near() {
        let known = ["target", "listen", "listen-mode", "certificate", "web"];
        let cases = [
            ("tagret", Some("target")),
            ("Target", Some("target")),
            ("listn", Some("listen")),
            ("cert", Some("certificate")),
            ("wb", Some("web")),
            ("program", None),
            ("x", None),
        ];
        for (word, expected) in cases {
            assert_eq!(suggestion(word, known).as_deref(), expected, "{word}");
        }
    }
}
