/// 1234567 as 1,234,567.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

/// "1 image", "2 images", "1,234,567 images".
#[must_use]
pub fn counted(number: u64, thing: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {thing}{ending}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 203_530, 12_345_678].map(grouped), ["0", "999", "1,000", "203,530", "12,345,678"]);
        assert_eq!([0, 1, 2000].map(|number| counted(number, "image")), ["0 images", "1 image", "2,000 images"]);
    }
}
