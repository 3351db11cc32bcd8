// Compares two lists of messages: the longest common run is equal, what is left on either side is different.

export function differences(left, right) {
  const common = Array.from({ length: left.length + 1 }, () => new Uint32Array(right.length + 1));
  for (let l = left.length - 1; l >= 0; l -= 1) {
    for (let r = right.length - 1; r >= 0; r -= 1) {
      common[l][r] = left[l] === right[r] ? common[l + 1][r + 1] + 1 : Math.max(common[l + 1][r], common[l][r + 1]);
    }
  }
  const pairs = [];
  let [l, r, gap] = [0, 0, { left: [], right: [] }];
  const close = () => {
    for (let at = 0; at < Math.max(gap.left.length, gap.right.length); at += 1) pairs.push([gap.left[at], gap.right[at]]);
    gap = { left: [], right: [] };
  };
  while (l < left.length || r < right.length) {
    if (l < left.length && r < right.length && left[l] === right[r]) {
      close();
      l += 1;
      r += 1;
    } else if (r === right.length || (l < left.length && common[l + 1][r] >= common[l][r + 1])) gap.left.push(left[l++]);
    else gap.right.push(right[r++]);
  }
  close();
  return { same: common[0][0], pairs };
}
