// The pages of repairs: forms that answer in place, and a list that says when it is no longer the newest.
export {};
